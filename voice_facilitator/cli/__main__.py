from voice_facilitator.cli import main

if __name__ == "__main__":
    main()
